"""Settings of `crumb serve`: what cannot be is refused by the name that it was given under."""

from __future__ import annotations

import pytest

from crumb.server.settings import SettingsError, resolve


@pytest.mark.parametrize(
    ("flags", "environment", "message"),
    [
        ({"port": "70000"}, {}, "--port must be at most 65535, got '70000'"),
        ({"port": "-1"}, {}, "--port must be at least 0, got '-1'"),
        ({"backlog": "65536"}, {}, "--backlog must be at most 65535, got '65536'"),
        ({"header_seconds": "nan"}, {}, "--header-seconds must be a number, got 'nan'"),
        ({"header_seconds": "inf"}, {}, "--header-seconds must be at most 1e+15, got 'inf'"),
        ({}, {"CRUMB_MAX_ITEMS": "1.5"}, "CRUMB_MAX_ITEMS must be a whole number, got '1.5'"),
    ],
)
def test_numbers_that_cannot_be(flags: dict[str, str], environment: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        resolve(flags, environment)
    assert str(caught.value) == message


def test_the_greatest_port_can_be() -> None:
    assert resolve({"port": "65535"}, {}).port == 65_535
