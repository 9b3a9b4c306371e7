"""A process that is killed in the middle of an upload leaves no file, and the next one clears up after it."""

import asyncio
from contextlib import suppress
from types import SimpleNamespace

import httpx2
import pytest

from tests.ingest.processes import serve, until
from tests.tracker.site import MASTER_KEY, only
from tests.tracker.test_files import PDF

pytestmark = pytest.mark.slow

NO_BROKER = SimpleNamespace(bootstrap="127.0.0.1:9", window_bytes=1)


async def test_what_a_killed_process_was_taking_is_no_file_and_goes(site, deny, database, select, tmp_path):
    await deny()
    path = f"/v1/cases/{(await only(site))['case_id']}/files"
    folder = tmp_path / "kept"
    told = {"Authorization": site["biller"].headers["authorization"], "Content-Type": "application/pdf"}
    settings = {
        "REPRIEVE_DATABASE_URL": database.url("reprieve_tracker"),
        "REPRIEVE_MASTER_KEY": MASTER_KEY,
        "REPRIEVE_FILES_DIR": str(folder),
    }

    def running():
        return serve("tracker-api", database=database, broker=NO_BROKER, folder=tmp_path, settings=settings)

    async def loose():
        return await select("select * from tracker.loose_objects", site.organization)

    def half_uploads():
        return list((folder / "incoming").iterdir())

    async def dribble():
        yield PDF + bytes(1_000_000)
        await asyncio.sleep(60)

    async with httpx2.AsyncClient(timeout=60) as client:
        with running() as first:
            await first.ready()
            sending = asyncio.create_task(client.post(first.url + path, content=dribble(), headers=told))

            async def begun():
                return await loose() and half_uploads()

            await until(begun)
            first.kill()
            sending.cancel()  # it would notice only when it sends the rest
            with suppress(asyncio.CancelledError, httpx2.TransportError):
                await sending

        assert len(await loose()) == 1
        assert await select("select 1 from tracker.files", site.organization) == []
        assert await select("select 1 from tracker.steps", site.organization) == []
        assert [one for one in folder.glob("??/*") if one.is_file()] == []
        await select("update tracker.loose_objects set due_at = now() returning 1", site.organization)
        with running() as second:
            await second.ready()

            async def cleared():
                return not await loose()

            await until(cleared)
            attached = await client.post(second.url + path, content=PDF, headers=told)
            file_id = attached.json()["file"]["file_id"]
            opened = await client.get(f"{second.url}{path}/{file_id}/content", headers=told)

            assert (attached.status_code, opened.content) == (201, PDF)
            assert b"%PDF" not in second.log.read_bytes()
            assert second.stop() == 0
