"""The look of the notebooks: one matplotlib style, whatever the working directory."""

from pathlib import Path

STYLES = Path(__file__).resolve().parent.parent / "styles"


def setup() -> None:
    """Apply the style of the course to every figure of this notebook."""
    from matplotlib import style

    style.use(STYLES / "lecture.mplstyle")
