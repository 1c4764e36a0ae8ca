"""On a cluster before Kubernetes 1.34 nobody is told that a claim does not exist: its API is not there."""

from __future__ import annotations

import pytest

from pydra_core._api.access import Access
from pydra_core._api.claims import Claims
from pydra_core._api.client import KubeClient
from pydra_core._values import ClaimRef
from pydra_core.errors import ApiError, ClaimReplacedError
from pydra_testbed.api import ApiServer
from pydra_testbed.clock import RealClock
from pydra_testbed.conformance.front import Front
from pydra_testbed.conformance.older import Release

REF = ClaimRef(namespace="default", name="claim-0", uid="11111111-2222-4333-8444-555555555555")


async def test_a_claim_is_not_said_to_be_gone_where_its_api_is_not_served():
    front = Front(Release.BETA)
    server = ApiServer(RealClock())
    async with server.listen() as behind, front.listen(behind) as url:
        client = KubeClient(Access(url, str, None))
        claims = Claims(client, "card.acme.example", None)
        try:
            with pytest.raises(ApiError, match=r"Kubernetes 1\.34") as caught:
                await claims.fetch(REF)
            assert "delete the pod" not in str(caught.value)
            front.release = Release.NEW
            with pytest.raises(ClaimReplacedError):
                await claims.fetch(REF)
        finally:
            await client.close()
