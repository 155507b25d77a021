"""The page of an audit: HTML in one file, without scripts or addresses, for reading and for printing."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2128; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; } h3 { font-size: 1rem; }
p.sub { color: #57606a; margin-top: .2rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; }
th, td { border-bottom: 1px solid #d0d7de; padding: .35rem .6rem .35rem 0; text-align: left; vertical-align: top; }
th { font-weight: 600; color: #57606a; font-size: .85rem; }
td { overflow-wrap: anywhere; } td.short { white-space: nowrap; }
.good { color: #116329; font-weight: 600; } .bad { color: #a40e26; font-weight: 600; }
.verdict { border-left: .3rem solid; padding: .4rem .8rem; background: #f6f8fa; }
code { font-size: .85em; overflow-wrap: anywhere; } small { color: #57606a; }
@media print {
  body { font-size: 9.5pt; margin: 0; max-width: none; padding: 0; }
  h2, h3 { break-after: avoid; } tr, section.version { break-inside: avoid; } thead { display: table-header-group; }
  .verdict { background: none; }
}
@page { margin: 15mm; }
"""
_MISSING = "-"


_LIMITS = (
    "<p>A service with a file of approvers did not load a version while its approvals were not enough, whatever the "
    "registry named; what served before went on, if its own approvals were enough. An approval or a withdrawal that was "
    "deleted from the registry is not shown. The times are the trainer's. Moves in MLflow's own page "
    "are not recorded. The newest entries of the history can be cut off without a trace: compare the hash above with "
    "one that was noted before.</p>"
)


def page(audit: Mapping[str, Any]) -> str:
    """The page of an audit that `trainer.audit.Auditor` made."""
    start = audit["from"] or "the first entry"
    parts = [
        f"<h1>Audit of {escape(audit['model'])}</h1>",
        _paragraph(start, audit),
        _verdict(audit["history"]),
        "<h2>What the registry named, and the service was to serve</h2>",
        _served(audit),
        "<h2>Every transition</h2>",
        _transitions(audit["history"]),
        "<h2>The evidence for each version</h2>",
        *(_version(number, known) for number, known in audit["versions"].items()),
        "<h2>Who may approve</h2>",
        _people(audit["approvers"]),
        "<h2>What this page does not show</h2>",
        _LIMITS,
    ]
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Audit of {escape(audit['model'])}</title><style>{_STYLE}</style>"
    )
    return (
        f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'
    )


def _paragraph(start: str, audit: Mapping[str, Any]) -> str:
    span = f"From {start} to {audit['to']}, written {audit['written']}. All times are in UTC."
    return f'<p class="sub">{escape(span)}</p>'


def _verdict(history: Mapping[str, Any]) -> str:
    faults = sum(each["fault"] for each in history["entries"])
    if history["intact"]:
        text, kind = (
            "No entry of the history was changed, removed or inserted, and signatures cover all.",
            "good",
        )
    else:
        text, kind = (
            f"The history is not proven: faults in this span: {faults}; see below.",
            "bad",
        )
    heads = "".join(
        f"<br><small>The last entry <code>{escape(each['entry'])}</code> has the hash "
        f"<code>{escape(each['sha256'])}</code></small>"
        for each in history["heads"]
    )
    return f'<p class="verdict {kind}">{text}{heads}</p>'


def _served(audit: Mapping[str, Any]) -> str:
    rows = []
    for each in audit["served"]:
        entry, then = each["entry"], each["approvals_at_the_start"]
        approved = _MISSING if then is None else _marked(then["summary"], good=then["sufficient"])
        approved += "".join(f"<br><small>{part}</small>" for part in _approved(each["approved"]))
        checks = "".join(f"<br><small>{escape(check)}</small>" for check in entry.get("checks", ()))
        word = f"{escape(entry['who'])} ({_status(entry)})<br>{escape(entry.get('why') or _MISSING)}{checks}"
        rows.append(
            [
                each["version"],
                each["pointer"],
                each["from"],
                each["to"] or "still",
                _Html(word),
                _Html(approved),
            ]
        )
    now = audit["named_now"]
    recorded = [
        each for each in audit["served"] if each["pointer"] == now["pointer"] and not each["to"]
    ]
    note = ""
    if audit["served"] and now["version"] != (recorded[-1]["version"] if recorded else None):
        note = (
            f"<p class=bad>The registry names {'version ' + now['version'] if now['version'] else 'no version'} now "
            f"({escape(now['pointer'])}): it was moved outside the trainer.</p>"
        )
    headings = (
        "version",
        "pointer",
        "from",
        "to",
        "who decided it, why, and the gates",
        "approvals at the start, and when they were enough",
    )
    return _table(headings, rows, "No version was promoted.") + note


def _approved(parts: Sequence[Mapping[str, Any]] | None) -> list[str]:
    """When the approvals were enough, in words."""
    if parts is None:
        return []
    found = [
        f"enough from {each['from']} {'to ' + each['to'] if each['to'] else 'on'}" for each in parts
    ]
    return found or ["never enough"]


def _transitions(history: Mapping[str, Any]) -> str:
    rows = [
        [
            each["when"],
            each["version"],
            f"{each.get('from', _MISSING)} → {each.get('to', _MISSING)}",
            each.get("pointer", _MISSING),
            each["who"] or _MISSING,
            each.get("why") or _MISSING,
            _Html(
                _status(each)
                + (f"<br><small>{escape(each['remark'])}</small>" if each["remark"] else "")
            ),
        ]
        for each in history["entries"]
    ]
    headings = ("when", "version", "move", "pointer", "who", "why", "check")
    return _table(headings, rows, "There is no transition in this span.")


def _version(number: str, known: Mapping[str, Any]) -> str:
    now = known["approvals_now"]
    facts = [
        ["run", known["run"] or _MISSING],
        ["source", known["source"]],
        *([name, value] for name, value in known["tags"].items()),
        *(
            [path, _Html(f"<code>{escape(sha)}</code>")]
            for path, sha in (known["files"] or {}).items()
        ),
        *(
            [["files", _Html(_marked(known["files_problem"], good=False))]]
            if known["files_problem"]
            else []
        ),
        [
            "metrics",
            ", ".join(f"{name} {value:.6g}" for name, value in known["metrics"].items())
            or _MISSING,
        ],
        *(
            [["approvals now", _Html(_marked(now["summary"], good=now["sufficient"]))]]
            if now
            else []
        ),
    ]
    rows = [
        [
            each["at"],
            ", ".join(each["signed_by"]) or f"{each['approver']} (unknown key)",
            each["decision"],
            each["reason"] or _MISSING,
            each["expires"] or "never",
            "these" if each["same_files"] else "other",
        ]
        for each in known["approvals"]
    ]
    headings = ("when", "who", "decision", "why", "expires", "files")
    approvals = _table(headings, rows, "Nobody has approved it.")
    return f'<section class="version"><h3>Version {escape(number)}</h3>{_table((), facts, "")}{approvals}</section>'


def _people(approvers: Mapping[str, Any] | None) -> str:
    if approvers is None:
        return "<p>No file of approvers was given, so no approval was compared with a rule.</p>"
    rows = [
        [name, _Html("<br>".join(f"<code>{key}</code>" for key in keys))]
        for name, keys in approvers["keys"].items()
    ]
    return f"<p>{approvers['required']} of {len(rows)} must approve.</p>" + _table(
        ("who", "SHA-256 of the public key"), rows, ""
    )


class _Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def _status(entry: Mapping[str, Any]) -> str:
    return _marked(entry["status"], good=not entry["fault"])


def _marked(text: str, *, good: bool) -> str:
    return f'<span class="{"good" if good else "bad"}">{escape(text)}</span>'


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> str:
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    if not body:
        return f"<p>{empty}</p>"
    head = "".join(f"<th>{escape(each)}</th>" for each in headings)
    return (
        f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"
    )


def _cell(text: str) -> str:
    if isinstance(text, _Html):
        return f"<td>{text}</td>"
    is_time = len(text) == len("2026-01-31T12:00:00Z") and text.endswith("Z")
    return f"<td{' class=short' if is_time else ''}>{escape(text)}</td>"
