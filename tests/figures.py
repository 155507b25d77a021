"""The figures of docs/architecture.md: `make figures` prints them for the code as it is now."""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

import grimp

from predictor import logs
from tests.predictor.graphs import classifier
from tests.predictor.live import Live
from tests.predictor.sockets import listening

PREDICTOR = Path(__file__).parent.parent / "predictor"


def size() -> dict[str, int]:
    """The number of files, lines, folders, and modules in no folder."""
    files = [*PREDICTOR.rglob("*.py")]
    lines = sum(len(file.read_text().splitlines()) for file in files)
    folders = {file.relative_to(PREDICTOR).parts[0] for file in files if file.parent != PREDICTOR}
    flat = len([*PREDICTOR.glob("*.py")])
    return {
        "files": len(files),
        "lines": lines,
        "modules in no folder": flat,
        "folders": len(folders),
    }


def imports(*, flat: bool) -> set[tuple[str, str]]:
    """Pairs of folders of which one imports the other; with `flat`, a module in no folder counts as a folder."""
    graph = grimp.build_graph("predictor", cache_dir=None)

    def room(module: str) -> str:
        name = module.split(".")[1] if "." in module else ""
        return name if flat or (PREDICTOR / name).is_dir() else ""

    found = {
        (room(module), room(imported))
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
    }
    return {(one, other) for one, other in found if one and other and one != other}


def cycles(imports: set[tuple[str, str]]) -> list[list[str]]:
    """Groups of rooms that import each other, directly or through other rooms."""
    reached: dict[str, set[str]] = {}
    for room in {each for pair in imports for each in pair}:
        found, new = set(), {room}
        while new:
            new = {other for one, other in imports if one in new} - found
            found |= new
        reached[room] = found
    groups = {
        tuple(sorted(other for other in reached[room] if room in reached[other]))
        for room in reached
    }
    return [[*group] for group in sorted(groups) if len(group) > 1]


async def frames(folder: Path, *, fast_lane: bool) -> dict[str, int]:
    """Calls between the bytes of one `POST /predict` and those of its response, on a warm connection."""
    live = Live(folder, fast_lane=fast_lane)
    await live.serve(1, classifier())
    features = live.service.reconciler.require_serving().signature.features
    body = json.dumps(dict.fromkeys([feature.name for feature in features], 1.5))
    request = "POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    request += f"Content-Length: {len(body)}\r\n\r\n{body}"
    called: list[tuple[str, str]] = []

    def profile(frame, event, _):
        if event == "call":
            called.append((frame.f_code.co_filename, frame.f_code.co_qualname))

    async with listening(live.app, live.service) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(3):
            called.clear()
            writer.write(request.encode())
            sys.setprofile(profile)
            answer = await reader.read(1 << 16)
            sys.setprofile(None)
            assert answer.startswith(b"HTTP/1.1 200 ")
            await asyncio.sleep(0.05)
        writer.close()
    ours = {each for each in called if each[0].startswith(str(PREDICTOR))}
    return {
        "functions of ours": len(ours),
        "files": len({file for file, _ in ours}),
        "calls": len(called),
    }


def main() -> None:
    logs.set_up("error")
    for name, value in size().items():
        print(f"{name}: {value}")
    for flat in (False, True):
        found = imports(flat=flat)
        print(
            f"imports, modules in no folder {'included' if flat else 'left out'}: {len(found)}, cycles: {cycles(found)}"
        )
    for lane in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            print(
                "fast lane" if lane else "ASGI", asyncio.run(frames(Path(folder), fast_lane=lane))
            )


if __name__ == "__main__":
    main()
