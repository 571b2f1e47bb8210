#!/usr/bin/env python3
"""What an action that builds an image does, by buildah: IN_WITH holds its inputs; arguments: FILE CONTEXT TAG."""

import json
import os
import subprocess
import sys

file, context, tag = sys.argv[1:]
arguments = json.loads(os.environ["IN_WITH"])["build-args"].split()
flags = [f"--build-arg={argument}" for argument in [f"BASE_IMAGE={os.environ['BASE_IMAGE']}", *arguments]]
build = ["buildah", "build", "--format=docker", "--layers", *os.environ["BUILD_FLAGS"].split(), *flags]
sys.exit(subprocess.run([*build, f"--tag={tag}", f"--file={file}", context], check=False).returncode)
