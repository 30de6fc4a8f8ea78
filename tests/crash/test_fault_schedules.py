"""The harness of faults itself, in short: it accepts the S3 backend, and finds each planted bug."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.crash.fault_programs import Complaint
from tests.crash.fault_schedules import Sweep, run_lanes
from tests.plugins.support.s3.servers import S3Server


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.ERROR)  # that a failure was survived is no news here
    yield
    logging.disable(logging.NOTSET)


async def test_nothing_is_lost_or_doubled_when_requests_fail(s3_server: S3Server) -> None:
    """The short run of `make faults-s3`."""
    # Few at once, and not too hasty: on a busy machine a backend that only ever runs out of time proves nothing.
    sweep = Sweep(seed=20261123, schedules=8, lane=4, calls=9, at_once=5, timeout=1.0)

    outcome = await run_lanes(sweep, sweep.lanes(), s3_server)

    assert outcome.acknowledged > 8, f"too little was acknowledged to prove anything: {outcome}"
    assert outcome.faults.total() > 12, f"too little failed to prove anything: {outcome}"


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("bug", "seed"),
    [
        ("TakesARefusalForSuccess", 7),
        ("ForgetsWhatItWrote", 7),
        ("ForgetsTheFloor", 4),
        ("OverwritesWhenInDoubt", 7),
        ("HidesFailures", 1),
        ("TellsTooFewDeletions", 8),
    ],
)
async def test_harness_finds_a_planted_bug(s3_server: S3Server, bug: str, seed: int) -> None:
    """A harness that passes a wrong backend would prove nothing about a right one. The seeds are such that find it soon."""
    sweep = Sweep(
        seed=seed, schedules=200, lane=10, at_once=4, timeout=1.0, backend=f"tests.crash.planted_s3_bugs:{bug}"
    )

    with pytest.raises(ExceptionGroup) as found:
        await run_lanes(sweep, sweep.lanes(), s3_server)

    complaints = found.value.subgroup(Complaint)
    assert complaints is not None
    assert len(complaints.exceptions) == len(found.value.exceptions), found.value.exceptions
    assert all(f"in seed {sweep.seed}, lane " in complaint.__notes__[0] for complaint in complaints.exceptions)
