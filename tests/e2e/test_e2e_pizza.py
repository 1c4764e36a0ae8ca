"""Pizzas from order to crumbs, through everything that goes wrong on the way; on the testbed or a real cluster."""

from __future__ import annotations

import signal

import pytest


def request(topping, slices="8"):
    selector = f'device.attributes["kitchen.pizza.example"].toppings.contains("{topping}")'
    return {
        "devices": {
            "requests": [
                {
                    "name": "pizza",
                    "exactly": {
                        "deviceClassName": "pizza",
                        "selectors": [{"cel": {"expression": selector}}],
                        "capacity": {"requests": {"kitchen.pizza.example/slices": slices}},
                    },
                }
            ]
        }
    }


def claim(name, topping, slices="8"):
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name},
        "spec": request(topping, slices),
    }


def template(name, topping):
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": name},
        "spec": {"spec": request(topping)},
    }


def pod(name, order, *, by_template=False, eats="echo $PIZZA"):
    source = "resourceClaimTemplateName" if by_template else "resourceClaimName"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "tolerations": [{"operator": "Exists"}],
            "resourceClaims": [{"name": "pizza", source: order}],
            "containers": [
                {
                    "name": "table",
                    "image": "busybox",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", eats],
                    "resources": {"claims": [{"name": "pizza"}]},
                }
            ],
        },
    }


LONG = "echo $PIZZA; sleep 600"


@pytest.fixture
async def driver(cluster):
    return await cluster.start_driver()


async def freed(cluster, name):
    """Wait until a claim's devices are free again."""
    path = cluster.folder("ResourceClaim")
    await cluster.until(
        path, f"metadata.name={name}", lambda c: "allocation" not in c.get("status", {})
    )


@pytest.mark.usefixtures("driver")
async def test_a_claim_is_served_and_freed_with_its_pod(cluster):
    await cluster.create(claim("dinner", "ham"), pod("ada", "dinner"))
    await cluster.pod("ada")
    assert await cluster.log("ada") == "capricciosa\n"
    await cluster.delete("Pod", "ada")
    await freed(cluster, "dinner")
    assert cluster.spec_files() == {}


@pytest.mark.usefixtures("driver")
async def test_two_pods_share_one_claim_and_it_stays_until_both_are_gone(cluster):
    await cluster.create(
        claim("dinner", "ham"), pod("ada", "dinner", eats=LONG), pod("grace", "dinner", eats=LONG)
    )
    for name in ("ada", "grace"):
        await cluster.pod(name, "Running")
    files = cluster.spec_files()
    assert len(files) == 1
    await cluster.delete("Pod", "ada")
    assert cluster.spec_files() == files
    await cluster.delete("Pod", "grace")
    await freed(cluster, "dinner")
    assert cluster.spec_files() == {}


@pytest.mark.usefixtures("driver")
async def test_a_template_makes_a_claim_that_goes_with_its_pod(cluster):
    await cluster.create(template("order", "spinach"), pod("ada", "order", by_template=True))
    await cluster.pod("ada")
    assert await cluster.log("ada") == "bianca\n"
    for made in await cluster.claims():
        assert made["metadata"]["ownerReferences"][0]["name"] == "ada"
        await cluster.delete("Pod", "ada")
        await cluster.gone(f"{cluster.folder('ResourceClaim')}/{made['metadata']['name']}")
    assert cluster.spec_files() == {}


async def test_after_a_kubelet_restart_orders_are_served_and_old_ones_freed(cluster, driver):
    cluster.must_be_a_testbed("a real node's kubelet is its service manager's to restart")
    await cluster.create(claim("dinner", "ham"), pod("ada", "dinner", eats=LONG))
    await cluster.pod("ada", "Running")
    await cluster.restart_kubelet()
    await driver.registered(times=2)
    await cluster.create(claim("supper", "salami"), pod("grace", "supper"))
    await cluster.pod("grace")
    assert await cluster.log("grace") == "diavola\n"
    await cluster.delete("Pod", "ada")
    await cluster.delete("Pod", "grace")
    await freed(cluster, "dinner")
    assert cluster.spec_files() == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "kill-9"])
async def test_a_driver_that_was_ended_goes_on_where_it_was(cluster, driver, number):
    await cluster.create(claim("dinner", "ham"), pod("ada", "dinner", eats=LONG))
    await cluster.pod("ada", "Running")
    files = cluster.spec_files()
    await driver.end(number)
    assert cluster.spec_files() == files
    again = await cluster.start_driver()
    assert cluster.spec_files() == files
    await cluster.create(claim("supper", "salami"), pod("grace", "supper"), pod("linus", "dinner"))
    await cluster.pod("grace")
    await cluster.pod("linus")
    assert await cluster.log("linus") == "capricciosa\n"
    for name in ("ada", "grace", "linus"):
        await cluster.delete("Pod", name)
    await freed(cluster, "dinner")
    assert cluster.spec_files() == {}
    assert again.process.returncode is None


async def test_a_driver_started_while_the_api_server_is_away_serves_when_it_is_back(
    cluster, driver
):
    cluster.must_be_a_testbed("a real cluster's API server is not ours to take away")
    await cluster.create(claim("dinner", "ham"), pod("ada", "dinner", eats=LONG))
    await cluster.pod("ada", "Running")
    files = cluster.spec_files()
    with cluster.api_outage():
        await driver.end(signal.SIGKILL)
        again = await cluster.start_driver(published=False)
        await again.registered()
        assert cluster.spec_files() == files
    await cluster.create(claim("supper", "salami"), pod("grace", "supper"))
    await cluster.pod("grace")
    await cluster.delete("Pod", "ada")
    await cluster.delete("Pod", "grace")
    await freed(cluster, "dinner")
    assert cluster.spec_files() == {}


@pytest.mark.usefixtures("driver")
async def test_an_order_nobody_can_fill_waits_and_says_so(cluster):
    await cluster.create(claim("hawaii", "pineapple"), pod("hedy", "hawaii"))
    waiting = await cluster.until(cluster.folder("Pod"), "metadata.name=hedy", unscheduled)
    (condition,) = [c for c in waiting["status"]["conditions"] if c["type"] == "PodScheduled"]
    assert condition["reason"] == "Unschedulable"
    assert "cannot allocate all claims" in condition["message"]
    assert waiting["status"]["phase"] == "Pending"
    assert cluster.spec_files() == {}


@pytest.mark.usefixtures("driver")
async def test_the_ninth_slice_waits_until_one_is_free(cluster):
    await cluster.create(claim("dinner", "ham", "5"), pod("ada", "dinner", eats=LONG))
    await cluster.pod("ada", "Running")
    await cluster.create(claim("supper", "ham", "4"), pod("grace", "supper"))
    await cluster.until(cluster.folder("Pod"), "metadata.name=grace", unscheduled)
    await cluster.delete("Pod", "ada")
    await cluster.pod("grace")
    assert await cluster.log("grace") == "capricciosa\n"


def unscheduled(body):
    conditions = body.get("status", {}).get("conditions", [])
    return any(c["type"] == "PodScheduled" and c["status"] == "False" for c in conditions)
