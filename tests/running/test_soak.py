"""A short soak, with every fault of the origin once; see tests/running/soak.py for long ones."""

from pathlib import Path

from tests.running.soak import FAULTS, soak

_HEALTHY, _ILL = 0.7, 1.3


async def test_no_fault_of_the_origin_harms_clients_of_what_is_stored(tmp_path: Path) -> None:
    verdict = await soak(tmp_path, seconds=0.0, rate=100, healthy=_HEALTHY, ill=_ILL)
    assert verdict.problems() == [], str(verdict)
    assert verdict.faults == dict.fromkeys(FAULTS, 1)
    assert verdict.load.seen("kept") == {200}
    assert {500, 502, 504} <= verdict.load.seen("passed"), "the faults have shown"
