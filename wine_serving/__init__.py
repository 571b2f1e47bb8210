"""What a wine is, how a model is packed, where versions live and how they are served."""

import os

# onnxruntime reports to its maker unless told not to before it is imported; whoever wants that can say 0
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
