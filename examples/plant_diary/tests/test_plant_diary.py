"""The diary, installed, in a host of its own."""

import pytest

from trunnion import CommandFailed, Forbidden, InvalidArguments, InvalidConfig
from trunnion.testing import check_plugin

PLUGINS = ["plant_diary"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_readings_are_kept_in_order_and_the_oldest_go(trunnion_host):
    with trunnion_host(plugins=PLUGINS, settings={"plant_diary": {"keep": 2}}) as host:
        kept = [host.result("plant_diary.note", plant="basil", moisture=m)["kept"] for m in (40, 30, 25)]
        assert kept == [1, 2, 2]
        assert host.query("plant_diary.plants")["items"] == [{"plant": "basil", "readings": [30, 25]}]


def test_a_dry_plant_is_a_warning_in_the_run(trunnion_host):
    with trunnion_host(plugins=PLUGINS, settings={"plant_diary": {"dry_below": 50}}) as host:
        run = host.invoke("plant_diary.note", plant="fern", moisture=12.5)
        assert run.result == {"plant": "fern", "kept": 1, "dry": True}
        assert [e.text for e in host.events(run) if e.level == "warning"] == ["fern is dry: 12.5 %"]


def test_it_outlives_the_host(trunnion_host, tmp_path):
    on_disk = {"plugins": PLUGINS, "store": "process", "data_dir": tmp_path}
    with trunnion_host(**on_disk) as host:
        host.result("plant_diary.note", plant="basil", moisture=40)
    with trunnion_host(**on_disk) as host:
        assert host.query("plant_diary.plants")["items"] == [{"plant": "basil", "readings": [40]}]


@pytest.mark.anyio
async def test_what_is_not_known_cannot_be_forgotten(trunnion_host):
    async with trunnion_host(plugins=PLUGINS) as host:
        await host.result("plant_diary.note", plant="basil", moisture=40)
        await host.result("plant_diary.forget", plant="basil")
        with pytest.raises(CommandFailed, match="nothing is known of basil"):
            await host.result("plant_diary.forget", plant="basil")


def test_who_may_only_look_notes_nothing(trunnion_host):
    with trunnion_host(plugins=PLUGINS) as host:
        visitor = host.as_principal("vera", role="viewer")
        assert visitor.query("plant_diary.plants")["items"] == []
        with pytest.raises(Forbidden):
            visitor.invoke("plant_diary.note", plant="basil", moisture=1)


@pytest.mark.parametrize("args", [{"plant": "Basil", "moisture": 1}, {"plant": "basil", "moisture": 101}])
def test_arguments_that_make_no_sense(trunnion_host, args):
    with trunnion_host(plugins=PLUGINS) as host, pytest.raises(InvalidArguments):
        host.invoke("plant_diary.note", **args)


def test_a_setting_that_makes_no_sense(trunnion_host):
    with (
        pytest.raises(InvalidConfig, match=r"plant_diary\.keep"),
        trunnion_host(plugins=PLUGINS, settings={"plant_diary": {"keep": 0}}),
    ):
        pass


def test_it_keeps_the_contract():
    (report,) = check_plugin("acme-plant-diary")
    assert report.ok and not report.of("warning"), str(report)
