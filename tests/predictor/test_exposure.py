"""Without keys the service listens on loopback only, unless a setting allows anonymous access."""

import pytest

from predictor.errors import SettingsError
from predictor.settings import Settings
from predictor.settings_checks import check_exposure, is_loopback

API, OPERATIONS = "PREDICTOR_API_KEYS_FILE", "PREDICTOR_OPERATIONS_KEYS_FILE"


def settings(**chosen):
    return Settings(MLFLOW_TRACKING_URI="http://registry", **chosen)


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True), ("127.8.0.9", True), ("::1", True), ("localhost", True),
        ("LOCALHOST", True), ("0.0.0.0", False), ("::", False), ("10.0.0.7", False),
        ("::ffff:10.0.0.7", False), ("::ffff:127.0.0.1", True), ("[::1]", True), ("[::]", False),
        ("0:0:0:0:0:0:0:0", False), ("0:0:0:0:0:0:0:1", True), ("predictor", False), ("localhost.example", False),
        ("127.1", False), ("0", False), ("128.0.0.1", False),
    ],
)  # fmt: skip
def test_loopback(host, own):
    """127.0.0.0/8, ::1 and localhost, but no similar names."""
    assert is_loopback(host) is own
    if own:
        check_exposure(settings(host=host))
    else:
        with pytest.raises(SettingsError):
            check_exposure(settings(host=host))


def test_on_other_addresses_both_kinds_of_keys_are_required():
    """Or the setting for anonymous access. The error names the missing settings, in one line."""
    with pytest.raises(SettingsError) as caught:
        check_exposure(settings(host="0.0.0.0"))
    for name in ("PREDICTOR_HOST: ", API, OPERATIONS, "PREDICTOR_ALLOW_ANONYMOUS=true"):
        assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    for given, missing in (("api_keys_file", OPERATIONS), ("operations_keys_file", API)):
        with pytest.raises(SettingsError, match=f"set {missing} \\("):
            check_exposure(settings(host="0.0.0.0", **{given: "/keys"}))
        check_exposure(settings(host="0.0.0.0", allow_anonymous=True, **{given: "/keys"}))
    check_exposure(settings(host="0.0.0.0", api_keys_file="/a", operations_keys_file="/b"))
    check_exposure(settings(host="0.0.0.0", allow_anonymous=True))
