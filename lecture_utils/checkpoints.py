"""Checkpoints: a run that goes on as if it had never been stopped."""

import pickle
from pathlib import Path

import torch

from lecture_utils.distributed import from_all, place
from lecture_utils.files import save_atomically
from lecture_utils.models import detach, each_part


def load_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint without running code from it. Raises ValueError if it is not one."""
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError) as error:
        raise ValueError(_NOT_OURS.format(path)) from error
    if not isinstance(content, dict) or content.get("format") != 1 or "optimizer" not in content:
        raise ValueError(_NOT_OURS.format(path))
    return content


_NOT_OURS = (
    "Файл {} — не контрольная точка этого курса или повреждён: "
    "удалите его и начните обучение заново."
)


def save_checkpoint(path, run, history, model, optimizer, state, best, tokens=None) -> None:
    """Everything that a run needs to go on as if it had never been stopped, tokens included.

    Of several processes all must call it; the first one writes.
    """
    device = next(model.parameters()).device
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    content = {
        "format": 1,
        "run": run,
        "history": history,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "state": each_part(detach(state), lambda part: torch.cat(from_all(part), dim=1)),
        "best": best,
        "tokens": tokens,
        "random": [part.cpu() for part in from_all(torch.get_rng_state().to(device))],
        "cuda": cuda,
    }
    if place()[0] == 0:
        save_atomically(content, path)


def restore(content: dict, run: dict, model, optimizer, device):
    """Put a checkpoint into `model` and `optimizer`; return its history, state and best weights.

    Raises ValueError, nothing changed, if it is of another network or of a run unlike `run`.
    """
    weights = {name: value.shape for name, value in content["model"].items()}
    if weights != {name: value.shape for name, value in model.state_dict().items()}:
        raise ValueError(
            "Контрольная точка сделана для сети другого размера: "
            "постройте ту же сеть или удалите файл и начните заново."
        )
    other = [name for name in run if run[name] != content["run"].get(name)]
    if other:
        raise ValueError(
            f"Контрольная точка сделана с другими настройками ({', '.join(other)}): "
            "верните их или удалите файл и начните заново."
        )
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    rank, world = place()
    torch.set_rng_state(content["random"][rank % len(content["random"])])
    if torch.cuda.is_available() and content["cuda"]:
        torch.cuda.set_rng_state_all(content["cuda"])
    own = lambda part: part.chunk(world, dim=1)[rank].contiguous().to(device)
    return content["history"], each_part(content["state"], own), content["best"]
