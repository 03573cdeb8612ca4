"""Networks kept: a run that goes on as if it had never been stopped, weights ready for use."""

import pickle
from pathlib import Path

import torch

from lecture_utils.distributed import from_all, place
from lecture_utils.files import save_atomically
from lecture_utils.models import LetterModel, TiedWordModel, WordModel, detach, each_part
from lecture_utils.vocabulary import Vocabulary

KEYS = {"format", "run", "history", "model", "optimizer", "state", "best", "random", "cuda"}
MODELS = {model.__name__: model for model in (LetterModel, WordModel, TiedWordModel)}


def run_settings(plan: dict, batches, valid, optimizer) -> dict:
    """What makes two runs the same run: the plan, the data, the optimizer with its options."""
    groups = [
        {**group, "parameters": len(group["params"]), "params": None}
        for group in optimizer.param_groups
    ]
    return {
        **plan,
        "data": batches.fingerprint(),
        "valid": valid.fingerprint() if valid is not None else None,
        "optimizer": type(optimizer).__name__,
        **{name: [group.get(name) for group in groups] for name in groups[0]},
    }


def save_checkpoint(path, run: dict, history: dict, model, optimizer, state, best) -> None:
    """Everything that a run needs to go on as if it had never been stopped.

    Of several processes all must call it; the first one writes.
    """
    device = next(model.parameters()).device
    is_cuda = device.type == "cuda"
    content = {
        "format": 2,
        "run": run,
        "history": history,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "state": each_part(detach(state), lambda part: torch.cat(from_all(part), dim=1)),
        "best": best,
        "random": from_all(torch.get_rng_state()),
        "cuda": from_all(torch.cuda.get_rng_state(device)) if is_cuda else [],
    }
    if place()[0] == 0:
        save_atomically(content, path)


def load_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint without running code from it. Raises ValueError if it is not one."""
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        if content["format"] != 2 or set(content) != KEYS:
            raise LookupError("keys")
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError) as error:
        raise ValueError(
            f"Файл {path} — не контрольная точка этого курса или повреждён: "
            "удалите его и начните обучение заново."
        ) from error
    return content


def restore(content: dict, run: dict, model, optimizer):
    """Put a checkpoint into `model` and `optimizer`; return its history, state and best weights.

    Raises ValueError, nothing changed, if it is of another network or of a run unlike `run`.
    """
    shapes = [
        {name: value.shape for name, value in weights.items()}
        for weights in (content["model"], model.state_dict())
    ]
    if shapes[0] != shapes[1]:
        raise ValueError(
            "Контрольная точка сделана для сети другого размера: "
            "постройте ту же сеть или удалите файл и начните заново."
        )
    known = content["run"]
    same = {**run, **known}.keys() - {"steps", "seconds"}  # a run may be prolonged
    if other := [name for name in sorted(same) if run.get(name) != known.get(name)]:
        raise ValueError(
            f"Контрольная точка сделана с другими настройками ({', '.join(other)}): "
            "верните их или удалите файл и начните заново."
        )
    rank, world_size = place()
    device = next(model.parameters()).device
    torch.set_rng_state(content["random"][rank % len(content["random"])])
    if device.type == "cuda" and content["cuda"]:
        torch.cuda.set_rng_state(content["cuda"][rank % len(content["cuda"])], device)
    optimizer.load_state_dict(content["optimizer"])
    model.load_state_dict(content["model"])
    own = lambda part: part.chunk(world_size, dim=1)[rank].contiguous().to(device)
    return content["history"], each_part(content["state"], own), content["best"]


def save_model(path, model, vocabulary: Vocabulary, *, in_bytes: bool = False) -> None:
    """A network of `models`, its settings and symbols in one file. Raises OSError.

    `in_bytes` keeps each row of a matrix as whole numbers −127…127 and their scale: a quarter of
    the size.
    """
    weights = model.state_dict()
    if in_bytes:
        weights = {name: _to_bytes(value) for name, value in weights.items()}
    content = {"model": type(model).__name__, "settings": model.settings}
    save_atomically(content | {"tokens": vocabulary.tokens, "weights": weights}, path)


def _to_bytes(weight: torch.Tensor) -> torch.Tensor | dict:
    if weight.dim() != 2 or not weight.is_floating_point():
        return weight
    scale = weight.abs().amax(1, keepdim=True).clamp(min=1e-8) / 127  # (rows, 1)
    return {"scale": scale, "bytes": (weight / scale).round().to(torch.int8)}


def load_model(path: str | Path):
    """The network of a file, ready to write or to go on learning, and its vocabulary.

    No code of the file is run. Raises ValueError for a file that is absent or no such network.
    """
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        vocabulary, settings = Vocabulary(content["tokens"]), dict(content["settings"])
        weights = {
            name: w["scale"] * w["bytes"] if isinstance(w, dict) else w
            for name, w in content["weights"].items()
        }
        if "parts_of" in weights:
            settings["parts"] = weights["parts_of"]
        with torch.device("meta"):  # its weights come from the file, so no random numbers are drawn
            model = MODELS[content["model"]](len(vocabulary), **settings)
        model.load_state_dict(weights, assign=True)
    except OSError as error:
        raise ValueError(
            f"Файл весов «{path}» не прочесть ({error.strerror}): проверьте путь или сохраните "
            "сеть заново."
        ) from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError) as error:
        raise ValueError(
            f"Файл «{path}» — не веса этого курса или повреждён: возьмите его заново."
        ) from error
    return model.requires_grad_(True).eval(), vocabulary
