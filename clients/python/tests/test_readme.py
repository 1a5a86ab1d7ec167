"""The README's examples, run as they stand.

Owns: the blocks marked `python`. Law: what a newcomer is told to type works; only the daemon's address is
another here.
"""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_what_the_readme_says_works(daemon, client, block):
    code = block.replace("http://127.0.0.1:7420", daemon.endpoint)
    code = re.sub(r"linmem\.connect\((?!\")", f'linmem.connect("{daemon.endpoint}", ', code)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


def test_there_are_examples():
    assert len(BLOCKS) >= 7
