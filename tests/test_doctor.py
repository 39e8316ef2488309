"""The doctor: each finding is true, and each fault names what mends it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from loopback import Loopback
from usbrec import doctor, models
from usbrec.cli import app


def test_python() -> None:
    assert doctor.python((3, 11)).state == "ok" and doctor.python((3, 13)).state == "ok"
    old = doctor.python((3, 10))
    assert old.state == "broken" and old.core and "3.11" in old.detail


def test_packages_and_extras() -> None:
    checks = {check.name: check for check in doctor.packages()}
    assert checks["core packages"].state == "ok" and checks["core packages"].core
    for extra in doctor.EXTRAS:
        check = checks[f"extra [{extra}]"]
        assert not check.core and (check.state == "ok" or check.fix == f"pip install 'usbrec[{extra}]'")


def test_room(tmp_path: Path) -> None:
    assert doctor.room(tmp_path / "not" / "there", needed=1).state == "ok"
    full = doctor.room(tmp_path, needed=10**18)
    assert full.state == "broken" and "USBREC_CACHE" in full.fix


async def test_an_endpoint() -> None:
    with Loopback() as server:
        well = await doctor.endpoint(server.url, "NO_KEY")
    assert well.state == "ok" and "serves toy" in well.detail
    gone = await doctor.endpoint("http://127.0.0.1:9/v1", "NO_KEY")
    assert gone.state == "broken" and gone.core and gone.fix


def test_without_a_model_the_command_fails_and_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USBREC_CACHE", str(tmp_path))
    result = CliRunner().invoke(app, ["doctor", "--json"])
    report = json.loads(result.stdout)
    assert result.exit_code == 1 and not report["core_works"]
    model = next(check for check in report["checks"] if check["name"] == f"model {models.DEFAULT}")
    assert model["state"] == "missing" and model["fix"] == f"usbrec model get {models.DEFAULT}"
    assert not list(tmp_path.rglob("*.gguf"))


def test_a_damaged_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USBREC_CACHE", str(tmp_path))
    known = models.KNOWN[models.DEFAULT]
    models.path_of(known).parent.mkdir()
    models.path_of(known).write_bytes(b"GGUF")
    found = doctor.known(known)
    assert found.state == "broken" and found.fix == f"usbrec model get {models.DEFAULT}"


@pytest.mark.slow
def test_with_the_model_the_core_works() -> None:
    if not models.path_of(models.KNOWN[models.DEFAULT]).exists():
        pytest.skip(f"{models.DEFAULT} is not here: usbrec model get {models.DEFAULT}")
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0 and "ok      embedded engine: 8 tokens" in result.stdout and "the core works" in result.stdout


def test_model_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USBREC_CACHE", str(tmp_path))
    rows = json.loads(CliRunner().invoke(app, ["model", "list", "--json"]).stdout)
    assert [row["name"] for row in rows] == list(models.KNOWN) and not any(row["here"] for row in rows)
    assert "usbrec model get" in CliRunner().invoke(app, ["model", "list"]).stdout
