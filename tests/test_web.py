import pytest

from mdpseg import web
from mdpseg.errors import UserError


@pytest.mark.parametrize("host", ["data..example.org", f"{'a' * 70}.example.org"])
def test_an_address_that_cannot_be_asked_is_one_message(host):
    with pytest.raises(UserError, match="correct the address"), web.opened(f"https://{host}/x", {}):
        pass
