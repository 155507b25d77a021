"""ONNX Runtime's error messages, shortened for people."""

import re

_MAX_LENGTH = 300  # characters
_HEAD = 100  # of them from the beginning, which names the node
_MAX_READ = 4000  # characters: names in a graph may have any length, and messages repeat them
_CODE = re.compile(r"\[ONNXRuntimeError\] : \d+ : ")
# A file and a line, then the signature of a function: "/…/normalizer.cc:42 void …::Compute(…) const".
_SOURCE = re.compile(
    r"(?:Status Message: )?(?<!\S)\S*\.(?:cc|cpp|cu|h|hpp):\d+"
    r"(?: [^()]{0,300}\((?:[^()]|\([^()]*\)){0,600}\)(?: const)?"
    r"(?:::<lambda\([^()]*\)>(?: const)?)?(?: \[with [^\]]{0,300}\])?(?= ))? ?"
)
_LOCALE = re.compile(r"Failed to construct locale with name:([\w@-]+)\.?([\w-]*)")


def one_line(error: Exception) -> str:
    """An error's message on one line of at most 300 characters.

    ONNX Runtime's messages have the kind of error, the node, a place in its source code with the signature
    of a C++ function, and the reason. The place is removed. If the rest is too long, its middle is cut out.
    """
    text = " ".join(_CODE.sub("", str(error)).split())
    text = _SOURCE.sub("", _shortened(text, _MAX_READ))
    return _shortened(text, _MAX_LENGTH)


def _shortened(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    mark = " … "
    return text[:_HEAD] + mark + text[_HEAD + len(mark) - length :]


def missing_locale(error: Exception) -> str | None:
    """How to install the locale that a graph needs, if the error says it is missing; else None.

    Graphs that change the case of text name a locale; the default is en_US.UTF-8. The environment (LANG,
    LC_ALL) has no effect.
    """
    found = _LOCALE.search(str(error))
    if found is None:
        return None
    language, charset = found[1], found[2] or "UTF-8"
    name = f"{language}.{charset}"
    return (
        f"it reads text, but the locale {name}, which it needs, is not installed. The image has "
        "en_US.UTF-8. On Debian, run `apt-get install locales` and "
        f"`localedef -i {language} -f {charset} {name}`; setting LANG or LC_ALL does not help"
    )
