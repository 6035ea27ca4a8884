"""The model cards of the packaged networks."""

from __future__ import annotations

import re

from sscn_triton.models.pretrained import folder_of, packaged
from sscn_triton.study.training.packaging import CARD


def cards() -> str:
    """Return the cards below one another, without the front matter that only Hugging Face reads."""
    texts = [(folder_of(name) / CARD).read_text(encoding="utf-8") for name in packaged()]
    bodies = [text.split("---\n", 2)[2].strip() for text in texts]
    return "\n\n".join(re.sub(r"^#", "##", body, flags=re.MULTILINE) for body in bodies)
