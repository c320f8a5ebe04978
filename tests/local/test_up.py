"""`catalog up`, `down` and `status`, with a Postgres of their own and the test run's other engines."""

import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import msgspec
import psutil
import psycopg
import pytest

from catalog.local import ports, stack
from catalog.sync import rounds
from tests.local.conftest import Up, as_json, bare, none_left, run, until


def test_status_tells_each_part_and_succeeds_only_when_all_are_ready(running: Up, lent: dict[str, str]) -> None:
    answer = run(lent, "status", "--home", str(running.home.folder), "--json")
    told = as_json(answer.stdout)
    assert answer.returncode == 0, answer.stderr
    assert (told["home"], told["ready"]) == (str(running.home.folder), True)
    assert {part["name"]: (part["ready"], part["log"]) for part in told["parts"]} == {
        "postgres": (True, str(running.home.logs / "postgres.log")),
        "opensearch": (True, None),
        "seaweedfs": (True, None),
        "api": (True, str(running.home.logs / "api.log")),
        "indexer": (True, str(running.home.logs / "indexer.log")),
    }
    # Of the disk that the store lies on, what is free is measured; here a store of somebody else's is lent.
    (own,) = told["stores"]
    assert (own["id"], own["state"], own["capacity"]["watermark_percent"]) == ("default", "healthy", 85)
    table = run(lent, "status", "--home", str(running.home.folder)).stdout
    assert "default" in next(line for line in table.splitlines() if "healthy" in line)
    config = as_json(run(lent, "config", "show", "--home", str(running.home.folder), "--json").stdout)
    assert (config["backend_watermark_percent"]["value"], config["backend_reserved_gb"]["value"]) == (85, 100)
    assert {part["name"]: part["pid"] for part in told["parts"] if part["pid"]} == {
        name: part.id.pid for name, part in running.home.state().parts.items() if part.id
    }


def test_what_status_prints_holds_no_secret(running: Up, lent: dict[str, str]) -> None:
    answer = run(lent, "status", "--home", str(running.home.folder))
    secrets = running.home.secrets()
    assert answer.returncode == 0
    for secret in (secrets.database_password, secrets.store_secret_key, secrets.notification_token):
        assert secret not in answer.stdout + answer.stderr
        assert secret not in running.home.state_file.read_text()


def test_a_second_up_says_where_the_first_one_runs_and_succeeds(running: Up, lent: dict[str, str]) -> None:
    before = running.home.state()
    answer = run(lent, "up", "--home", str(running.home.folder))
    assert answer.returncode == 0
    assert f"already running in {running.home.folder}" in answer.stderr
    assert {line.split("\t")[0]: line.split("\t")[1] for line in answer.stdout.splitlines()[1:]} == {
        name: part.address for name, part in before.parts.items()
    }
    assert running.home.state() == before


def test_the_token_that_up_leaves_opens_the_catalog(running: Up) -> None:
    token = (running.home.folder / "admin-token").read_text().strip()
    address = running.home.state().parts["api"].address
    answer = httpx2.get(
        f"{address}/api/operations/queue", headers={"Authorization": f"Bearer {token}"}, trust_env=False
    )
    assert answer.status_code == 200


def test_when_the_index_was_compared_and_what_was_wrong_is_told(running: Up, lent: dict[str, str]) -> None:
    home, folder = running.home, ("--home", str(running.home.folder))
    before = as_json(run(lent, "status", *folder, "--json").stdout)
    began = datetime(2026, 11, 2, 3, 4, tzinfo=UTC)
    tally = rounds.Tally(
        began_at=began, ended_at=began + timedelta(minutes=5), objects=1_200, documents=1_204, stale=1, extra=5
    )
    with psycopg.connect(stack.database_url(home.folder), autocommit=True) as connection:
        ended = rounds.Round(phase=rounds.Phase.RESTING, tally=tally).subject
        # It is there as soon as the indexer is, which `catalog up` does not wait for.
        written = "UPDATE queue SET subject = %s WHERE topic = 'sync'"
        until(lambda: connection.execute(written, [ended]).rowcount == 1)

    after = as_json(run(lent, "status", *folder, "--json").stdout)
    shown = run(lent, "status", *folder).stderr
    told = httpx2.get(
        f"{home.state().parts['api'].address}/api/operations/queue",
        headers={"Authorization": f"Bearer {(home.folder / 'admin-token').read_text().strip()}"},
        timeout=30,
        trust_env=False,
    ).json()

    assert (before["agreement"], after["agreement"]) == (None, msgspec.to_builtins(tally))
    assert told["agreement"] == after["agreement"]
    assert after["index"].keys() == {"lag_seconds", "parked"}
    assert ("behind the database" in shown) or ("index as new as the database" in shown)
    assert "index compared with the database, 2026-11-02 03:09: 1,200 objects, 1 stale, 5 extra\n" in shown


def test_the_index_of_a_folder_is_compared_with_its_database(running: Up, lent: dict[str, str]) -> None:
    answer = run(lent, "diff", "--home", str(running.home.folder), "--json")
    assert (answer.returncode, as_json(answer.stdout)["index"]["differences"]) == (0, [])


def test_a_token_is_made_in_the_database_of_a_folder(running: Up, lent: dict[str, str], tmp_path: Path) -> None:
    home = ("--home", str(running.home.folder))
    made = run(lent, "token", "create", "night-shift", "--role", "reader", *home, "--json")
    listed = run(lent, "token", "list", *home, "--json")
    token = as_json(made.stdout)["token"]
    address = running.home.state().parts["api"].address

    answer = httpx2.get(
        f"{address}/api/kinds", headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False
    )
    nowhere = run(lent, "token", "list", "--home", str(tmp_path / "empty"))
    ended = run(lent, "principal", "end", "night-shift", *home)
    principals = as_json(run(lent, "principal", "list", *home, "--json").stdout)
    refused = httpx2.get(
        f"{address}/api/search", headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False
    )

    assert (made.returncode, answer.status_code) == (0, 200)
    assert "night-shift" in listed.stdout
    assert (ended.returncode, refused.status_code) == (0, 401)
    assert [one["name"] for one in principals if one["ended_at"] is not None] == ["night-shift"]
    assert running.home.secrets().database_password not in listed.stdout + listed.stderr + made.stderr
    assert (nowhere.returncode, nowhere.stdout) == (6, "")
    assert f"Nothing runs in {tmp_path / 'empty'}; start it with `catalog up --home" in nowhere.stderr


def test_only_the_owner_can_read_what_is_secret(running: Up) -> None:
    folder = running.home.folder
    assert {name: oct((folder / name).stat().st_mode & 0o777) for name in ("", "secrets.json", "admin-token")} == {
        "": "0o700",
        "secrets.json": "0o600",
        "admin-token": "0o600",
    }


def test_doctor_finds_nothing_wrong_with_a_stack_that_runs(running: Up, lent: dict[str, str]) -> None:
    answer = run(lent, "doctor", "--home", str(running.home.folder), "--json")
    told = as_json(answer.stdout)
    assert [finding for finding in told["findings"] if not finding["ok"]] == []
    assert (answer.returncode, told["ok"]) == (0, True)
    assert {"Python", "Java", "jars", "memory", "postgres", "opensearch", "seaweedfs", "api", "indexer"} <= {
        finding["name"] for finding in told["findings"]
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_and_leaves_nothing_behind(up: Callable[..., Up], number: signal.Signals) -> None:
    if number is signal.SIGINT:
        one = up()
        one.ready()
    else:
        # In the middle of starting.
        one = up()
        until(lambda: one.home.state().parts)
    everyone = one.everyone()
    os.killpg(one.process.pid, number)
    code = one.process.wait(20)
    none_left(everyone)
    assert code == (0 if number is signal.SIGINT else 130), one.said.read_text()
    assert not one.home.is_held()


def test_a_killed_supervisor_takes_everything_with_it(up: Callable[..., Up], lent: dict[str, str]) -> None:
    one = up()
    one.ready()
    everyone = one.everyone()
    assert {"postgres", "python"} <= {process.name().rstrip("0123456789.") for process in everyone}
    one.process.kill()
    none_left(everyone)
    answer = run(lent, "status", "--home", str(one.home.folder), "--json")
    assert (answer.returncode, as_json(answer.stdout)["parts"]) == (6, [])


def test_a_detached_stack_runs_until_down(tmp_path: Path, lent: dict[str, str]) -> None:
    home = ("--home", str(tmp_path / "home"))
    started = run(lent, "up", "--detach", "--port", str(ports.choose()), *home)
    try:
        assert started.returncode == 0, started.stderr
        told = as_json(run(lent, "status", "--json", *home).stdout)
        everyone = [psutil.Process(part["pid"]) for part in told["parts"] if part["pid"]]
        assert (told["ready"], len(everyone)) == (True, 3)
    finally:
        stopped = run(lent, "down", *home)
    none_left(everyone)
    assert (stopped.returncode, stopped.stderr) == (0, f"stopped what ran in {tmp_path / 'home'}\n")
    again = run(lent, "down", *home)
    assert (again.returncode, again.stderr) == (0, f"nothing runs in {tmp_path / 'home'}\n")


def test_down_and_status_of_a_folder_that_is_not_there_make_none(tmp_path: Path) -> None:
    folder = tmp_path / "nowhere"
    assert run(bare(), "down", "--home", str(folder)).returncode == 0
    assert run(bare(), "status", "--home", str(folder)).returncode == 6
    assert not folder.exists()


def test_an_explicit_port_that_is_taken_is_refused(tmp_path: Path, lent: dict[str, str], running: Up) -> None:
    taken = running.home.state().ports["api"]
    answer = run(lent, "up", "--home", str(tmp_path / "home"), "--port", str(taken))
    assert (answer.returncode, answer.stdout) == (6, "")
    assert f"port {taken} is taken by another program" in answer.stderr
