"""What Jupyter starts as a kernel: it asks for a fork (forked.py) that is one, and ends when that has ended.

python -I -S tests/forked_kernel.py SOCKET -f CONNECTION_FILE …   imports next to nothing, as each kernel starts it
"""

import json
import os
import signal
import socket
import sys

KERNEL = "from ipykernel.kernelapp import launch_new_instance; launch_new_instance()"

address, *arguments = sys.argv[1:]
said = f"{address}-{os.getpid()}"
os.mkdir(said)  # noqa: PTH102 - pathlib takes longer than all of this
env = {name: value for name, value in os.environ.items() if name != "JPY_PARENT_PID"}  # it has another parent
asked = {"script": KERNEL, "argv": ["-c", *arguments], "env": env, "cwd": os.getcwd(), "said": said}  # noqa: PTH109
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(address)
    told = connection.makefile("rw")
    print(json.dumps(asked), file=told, flush=True)
    kernel = int(told.readline())
    signal.signal(signal.SIGINT, lambda *_: os.kill(kernel, signal.SIGINT))
    sys.exit(int(told.readline()))
