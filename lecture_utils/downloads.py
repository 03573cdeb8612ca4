"""Files from the network: each once, by its hash, into a cache, with one bar for all."""

import functools
import io
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class File(NamedTuple):
    """Where a file comes from, where it is kept, its size in bytes and its SHA-256."""

    url: str
    path: Path
    size: int
    sha256: str

    def is_there(self) -> bool:
        """Whether the cache holds it undamaged."""
        import pooch

        return self.path.exists() and pooch.file_hash(self.path) == self.sha256


def cache_folder() -> Path:
    """Where downloads are kept; LECTURE_CACHE names another folder."""
    import pooch

    return Path(os.environ.get("LECTURE_CACHE") or pooch.os_cache("lecture_utils")).expanduser()


def fetch(files: Sequence[File], about: str, answer_seconds=6.0, total_seconds=180.0) -> bool:
    """Download what the cache does not hold; whether there was anything to download.

    What has come whole stays, so that another call goes on from there. A file may take
    `total_seconds`, its server `answer_seconds` to answer. Raises ConnectionError, its message the
    reason in Russian, and OSError for a folder that cannot be written.
    """
    import pooch
    from tqdm.auto import tqdm

    missing = [file for file in files if not file.is_there()]
    if not missing:
        return False
    size, folder = sum(file.size for file in missing), files[0].path.parent
    folder.mkdir(parents=True, exist_ok=True)
    print(f"Скачиваем {about} ({max(1, size // 10**6)} МБ) в папку «{folder}».")
    pooch.get_logger().setLevel("WARNING")  # else it tells of the download in English
    with tqdm(total=size, unit="Б", unit_scale=True, leave=False) as bar:
        get = functools.partial(_get, bar, answer_seconds, total_seconds)
        for file in missing:
            try:
                pooch.retrieve(
                    file.url, file.sha256, file.path.name, file.path.parent, downloader=get
                )
            except ValueError as error:  # pooch's word for another hash
                raise ConnectionError("пришёл не тот файл (SHA-256)") from error
    return True


def _get(bar, answer_seconds: float, total_seconds: float, url: str, path: str, _pooch) -> None:
    """Download in a thread: nothing else bounds name resolution and a server that drips bytes."""
    import pooch
    from requests import HTTPError

    # Uncompressed, so that the bar knows how much is to come.
    plain = pooch.HTTPDownloader(timeout=answer_seconds, headers={"Accept-Encoding": "identity"})
    body, failures, start, before = io.BytesIO(), [], time.monotonic(), bar.n

    def work() -> None:
        try:
            plain(url, body, None)
        except HTTPError as error:
            failures.append(f"сервер ответил кодом {error.response.status_code}")
        except (OSError, ValueError):  # requests' errors are OSErrors; ValueError: body was closed
            failures.append("сервер недоступен или связь с ним оборвалась")

    thread = threading.Thread(target=work, name="download", daemon=True)
    thread.start()
    while thread.is_alive():
        if time.monotonic() - start > (total_seconds if body.tell() else answer_seconds):
            body.close()  # stops the thread at its next write
            raise ConnectionError("сервер не отвечает или шлёт слишком медленно")
        bar.update(before + body.tell() - bar.n)
        thread.join(0.1)
    if failures:
        raise ConnectionError(failures[0])
    bar.update(before + body.tell() - bar.n)
    Path(path).write_bytes(body.getvalue())
