"""ONNX Runtime's error messages, as people read them."""

import re

_LONGEST = 300  # characters
_HEAD = 100  # of them from the beginning, which names the node
_READ = 4000  # characters: names in a graph may be of any length, and messages repeat them
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

    ONNX Runtime names the kind of error, the node, the place in its own source with the whole
    signature of a C++ function, and then the reason. The place is dropped. Of what is still too
    long, the beginning and the end are kept.
    """
    text = " ".join(_CODE.sub("", str(error)).split())
    text = _SOURCE.sub("", _shortened(text, _READ))
    return _shortened(text, _LONGEST)


def _shortened(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    mark = " … "
    return text[:_HEAD] + mark + text[_HEAD + len(mark) - length :]


def missing_locale(error: Exception) -> str | None:
    """What to do where a graph asks for a locale that is not installed; None for other errors.

    Graphs that read text name the locale by which letters become small or large, and
    en_US.UTF-8 where they name none. The environment (LANG, LC_ALL) has no part in it.
    """
    found = _LOCALE.search(str(error))
    if found is None:
        return None
    language, charset = found[1], found[2] or "UTF-8"
    name = f"{language}.{charset}"
    return (
        f"it reads text, and the locale {name} that it asks for is not installed. The image has "
        "en_US.UTF-8. On Debian, `apt-get install locales` and "
        f"`localedef -i {language} -f {charset} {name}`; setting LANG or LC_ALL does not help"
    )
