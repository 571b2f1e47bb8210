"""What W&B's SDK raises, as one sentence of our family that says what to do."""

import re
from typing import Final

from wine_serving.errors import RegistryError, RegistryUnavailable

NO_KEY: Final = (
    "there is no W&B key on this machine: run `wandb login`, or set WANDB_API_KEY (in CI from a secret), "
    "or choose WINE_REGISTRY=folder:artifacts/registry"
)
KEY_REFUSED: Final = "the server does not accept the key: make a new one and run `wandb login --relogin`"
NO_ACCESS: Final = "the key may not do this there: ask for access to the project, or use another key"
NO_PLACE: Final = (
    "there is no such entity or project, or the key cannot see it: correct WINE_REGISTRY; when the entity is right, "
    "`make pipeline` makes the project"
)
NO_ORGANISATION: Final = "the account belongs to no organisation with a registry: unset WINE_REGISTRY_LINK"
REFUSALS: Final = {  # what W&B's answer looks like → what it means
    r"not logged in|\b401\b": KEY_REFUSED,
    r"permission|\b403\b": NO_ACCESS,
    r"entity .*not found|not found under entity|run .*not found": NO_PLACE,
    r"organization": NO_ORGANISATION,
}


def explain(error: Exception, place: str) -> RegistryError:
    """The sentence for `error`, raised while talking to W&B about `place`."""
    import wandb

    said = " ".join(str(error).split())[:300]
    for pattern, meaning in REFUSALS.items():
        if re.search(pattern, said, re.IGNORECASE):
            return RegistryError(f"W&B refuses {place}: {meaning} (it said: {said})")
    return RegistryUnavailable(
        f"W&B at {wandb.setup().settings.base_url} gives no usable answer about {place} ({said}): see whether the "
        "server and the network are up, and run this again; nothing was taken from the folder instead"
    )
