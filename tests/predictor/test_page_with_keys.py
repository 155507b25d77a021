"""The demo page where keys are asked for, in a real browser: it asks for one, and keeps it nowhere."""

from predictor.keys import line_of
from tests.predictor.browser import browser
from tests.predictor.graphs import OURS
from tests.predictor.live import Live
from tests.predictor.sockets import listening

PREDICTION = "document.querySelector('.prediction')?.textContent"
STORED = """[localStorage.length, sessionStorage.length, document.cookie, location.href,
             (await indexedDB.databases()).length, history.length]"""


async def test_the_page_asks_for_a_key_and_keeps_it_nowhere(tmp_path):
    """/model refuses it, and yet it shows what serves; a wrong key is asked for again."""
    files = {name: tmp_path / name for name in ("api_keys_file", "operations_keys_file")}
    for path in files.values():
        path.write_text(line_of("frontend", "k3y"))
    files["operations_keys_file"].write_text(line_of("prometheus", "other"))
    live = Live(tmp_path, **files)
    await live.serve(7, OURS)
    async with listening(live.app, live.service) as address, browser() as tab:
        await tab.open(f"http://127.0.0.1:{address.port}/")
        await tab.until("document.querySelector('#fill')?.disabled === false")
        assert (
            await tab.value("document.querySelector('#model-version').textContent") == "version 7"
        )
        before = await tab.value(f"(async () => {STORED})()")
        assert await tab.value("document.querySelector('#access').hidden")
        await tab.click("#fill")
        await tab.click("#predict")
        await tab.until("!document.querySelector('#access').hidden")
        for key in ("wrong", "k3y"):
            await tab.until("document.activeElement.id === 'key'")
            await tab.type("#key", key)
            await tab.click("#access button")
            await tab.until("!document.querySelector('#record').ariaBusy.includes('true')")
        assert await tab.until(PREDICTION) in {"malignant", "benign"}
        assert await tab.value("document.querySelector('#access').hidden")
        assert await tab.value("document.querySelector('#key').value") == ""
        assert "k3y" not in await tab.value("document.documentElement.outerHTML")
        assert await tab.value(f"(async () => {STORED})()") == before
        assert "$API_KEY" in await tab.value("document.querySelector('#command').textContent")
        assert tab.hosts == {f"127.0.0.1:{address.port}"}
        assert not [asked for asked in tab.asked if "k3y" in asked]
        assert address.asked.count("/model") == 1
        assert {line.split(":")[0] for line in tab.complaints} <= {"network"}
    await live.reconciler.close()
