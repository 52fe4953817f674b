"""The conformance suite of stores: plain async functions, each with one promise of the store contract.

Give :func:`all_checks` to your test runner and a :class:`StoreHarness` of your adapter to each of them::

    @pytest.mark.parametrize("check", all_checks(), ids=lambda check: check.__name__)
    async def test_my_store_keeps_the_contract(check, address):
        async with asyncio.timeout(60), MyHarness(address) as harness:
            try:
                await check(harness)
            except NotProvided as reason:
                pytest.skip(str(reason))
"""

import sys
from pkgutil import iter_modules

if (
    "pytest" in sys.modules
):  # its assertions tell what they compared, if it knows of them before they are imported
    checks = [f"{__name__}.{module.name}" for module in iter_modules(__path__)]
    sys.modules["pytest"].register_assert_rewrite(*checks)

from flowstate_server.testing.store_contract.catalogue import Check, all_checks
from flowstate_server.testing.store_contract.harness import NotProvided, StoreHarness

__all__ = ["Check", "NotProvided", "StoreHarness", "all_checks"]
