"""A name that does not exist is answered with the nearest one, and wrong usage with exit code 2."""

from __future__ import annotations

import pytest

from openclaw_nats.cli.main import main
from openclaw_nats.suggestions import did_you_mean, nearest


def test_the_nearest_name_whatever_its_case() -> None:
    assert nearest("mian", ["main", "coder"]) == "main"
    assert nearest("Door-Back", ["door-back", "door-front"]) == "door-back"
    assert nearest("xyz", ["main"]) == ""
    assert did_you_mean("xyz", ["main"], "`openclaw-nats routes` lists them.") == "`openclaw-nats routes` lists them."
    assert did_you_mean("mian", ["main"], "…") == "Did you mean main?"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["routs"], "Did you mean routes?"),
        (["cron", "remvoe", "x"], "Did you mean remove?"),
        (["dead", "redrvie"], "Did you mean redrive?"),
        (["events", "--limt", "3"], "Did you mean --limit?"),
        (["config", "get", "stream.maxage"], "Did you mean stream.max_age?"),
        (["xxxxxxxxxx"], "`openclaw-nats --help` lists all."),
    ],
)
def test_an_unknown_name_names_the_nearest(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["openclaw-nats", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert named in capsys.readouterr().err
