"""Validator processes die, hang and swell without harm to their owner."""

import asyncio
import os
import signal

import pytest

from services.ingest.acknowledgments import validator
from services.ingest.acknowledgments import validators as pool
from services.ingest.acknowledgments.validators import ValidatorError, Validators
from services.ingest.acknowledgments.verdicts import Limits
from shared.errors import UnavailableError
from tests.ingest.acknowledgments.answers import judge
from tests.ingest.remittances import TestSet, denied, remittance

SOUND = remittance(TestSet([denied("A1")]))
LARGE = remittance(TestSet([denied(f"A{n}") for n in range(4000)]))


def blocks(content: bytes):
    return lambda: iter([content[at : at + 65536] for at in range(0, len(content), 65536)])


def processes(validators: Validators) -> list[int]:
    return [process.pid for process in validators._idle]


async def test_a_killed_process_costs_its_file_the_conformance_and_nothing_else():
    validators = Validators()
    try:
        await validators.inspect(blocks(SOUND))
        (pid,) = processes(validators)
        os.kill(pid, signal.SIGKILL)
        verdict = await validators.inspect(blocks(SOUND))
        after = await validators.inspect(blocks(SOUND))
    finally:
        await validators.close()

    assert (verdict.cut_short, verdict.sets, verdict.sets_checked) == ("failed", 1, 0)
    assert verdict.interchanges[0].groups[0].code == "A"
    assert after == judge(SOUND)


async def test_a_process_that_hangs_is_ended_and_the_envelope_is_judged_by_another():
    validators = Validators(wall_seconds=30)
    try:
        await validators.inspect(blocks(SOUND))
        (pid,) = processes(validators)
        os.kill(pid, signal.SIGSTOP)
        validators._wall_seconds = 1.0
        running = asyncio.create_task(validators.inspect(blocks(SOUND)))
        await asyncio.sleep(0.5)
        validators._wall_seconds = 30.0
        verdict = await running
    finally:
        await validators.close()

    assert verdict.cut_short == "failed"
    assert not is_running(pid)


async def test_a_process_that_outgrows_its_memory_ends(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pool, "_MODULE", "tests.ingest.acknowledgments.swelling")
    validators = Validators()
    try:
        verdict = await validators.inspect(blocks(SOUND))
    finally:
        await validators.close()

    assert (verdict.cut_short, verdict.sets, verdict.sets_checked) == ("failed", 1, 0)


async def test_a_file_that_no_process_can_judge_is_said_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pool, "_MODULE", "tests.ingest.acknowledgments.guide")  # which ends at once
    validators = Validators()
    with pytest.raises(ValidatorError):
        await validators.inspect(blocks(SOUND))
    assert processes(validators) == []


async def test_a_process_that_spins_inside_one_segment_is_ended_by_the_kernel(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(pool, "_MODULE", "tests.ingest.acknowledgments.spinning")
    validators = Validators(limits=Limits(seconds=1 - validator._SPARE_SECONDS), wall_seconds=60)
    try:
        verdict = await validators.inspect(blocks(SOUND))
    finally:
        await validators.close()

    assert (verdict.cut_short, verdict.sets_checked) == ("failed", 0)


async def test_no_room_for_a_process_is_not_the_files_fault(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pool.sys, "executable", "/nowhere/python")
    with pytest.raises(UnavailableError):
        await Validators().inspect(blocks(SOUND))


async def test_limits_reach_the_process():
    validators = Validators(limits=Limits(conformance_bytes=100_000))
    try:
        verdict = await validators.inspect(blocks(LARGE))
    finally:
        await validators.close()

    assert (verdict.cut_short, verdict.sets_checked) == ("size", 0)
    assert verdict.interchanges[0].groups[0].code == "A"


async def test_a_file_that_cannot_be_read_leaves_no_process_behind_in_the_middle_of_it():
    def failing():
        yield SOUND[:100]
        raise OSError("the disk is away")

    validators = Validators()
    try:
        with pytest.raises(OSError, match="disk"):
            await validators.inspect(failing)
        assert processes(validators) == []
        assert (await validators.inspect(blocks(SOUND))).cut_short is None
    finally:
        await validators.close()


async def test_a_process_ends_with_its_owner():
    validators = Validators()
    await validators.inspect(blocks(SOUND))
    (process,) = validators._idle
    assert process.stdin is not None
    process.stdin.close()  # as the kernel does when the owner is killed

    assert await asyncio.wait_for(process.wait(), 60) == 0


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
