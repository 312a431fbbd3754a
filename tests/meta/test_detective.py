"""Detective mode: a riddle tells its section alone, hints narrow it down, and the seed chooses it."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def riddle(*options, stdin=""):
    command = [sys.executable, "-m", "pytest", "--detective", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, input=stdin)


def test_a_riddle_names_its_section_alone_and_takes_the_answer():
    asked = 'answer("nothing")\nanswer("item-gives-a-python-number")\nhint()\nanswer("view-shares-data")\ngive_up()\n'
    result = riddle("--claim", "view-shares-data", "--seed", "1", stdin=asked)
    assert "Something is wrong with this torch, in section 2.2: Operations and shared data." in result.stderr
    assert "There is no claim 'nothing'." in result.stdout
    assert "That is not the one." in result.stdout
    assert "Right: " in result.stdout
    assert "It is view-shares-data: " in result.stdout


def test_the_seed_chooses_the_riddle():
    told = [riddle("--seed", seed, stdin="give_up()\n").stdout for seed in ("1", "1", "2")]
    assert told[0] == told[1] != told[2]


def test_hints_narrow_the_riddle_down():
    asked = "claims()\nhint()\nhint()\nhint()\nanswer(torch)\n"
    printed = riddle("--claim", "view-shares-data", stdin=asked).stdout
    everything, names, some, again, unknown = printed.removeprefix(">>> ").split("\n>>> ")[:5]
    listed = dict(line.split(": ", 1) for line in everything.splitlines())
    assert listed["view-shares-data"].startswith("A tensor returned by `view` shares its data")
    assert names.startswith("Look at torch.Tensor.view,")
    suspects = some.removeprefix("It is one of these: ").removesuffix(".").split(", ")
    assert "view-shares-data" in suspects
    assert set(suspects) < set(listed)
    assert len(suspects) == 5
    assert again == some
    assert unknown.startswith("There is no claim")


def test_the_page_for_learners_shows_how_a_riddle_is_asked():
    page = (ROOT / "docs/learn.md").read_text("utf8")
    _, asked = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert asked.removesuffix(">>>\n") in riddle("--claim", "view-shares-data").stderr
