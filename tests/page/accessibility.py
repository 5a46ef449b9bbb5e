"""Looks at the page as an assistive technology would."""

from pathlib import Path

AUDIT = Path(__file__).with_name("accessibility.js").read_text()


def problems(page):
    """Sentences about what is wrong, each with the element."""
    return page.js(f"return {AUDIT[AUDIT.index('(() =>') :]}")
