"""What runs in upstream's contexts for the scenarios `files` and `stream`."""

import time

import mitogen.core
import mitogen.service


@mitogen.core.takes_router
def fetch(path, target, router):
    with open(target, "wb") as out:
        ok, _ = mitogen.service.FileService.get(router.context_by_id(0), path, out)
    assert ok


@mitogen.core.takes_router
def fetch_many(source, target, count, router):
    start = time.time()
    for number in range(count):
        fetch("%s/%d" % (source, number), "%s/%d" % (target, number), router=router)
    return time.time() - start


def send(sender, count):
    data = b"x" * 131072
    for _ in range(count):
        sender.send(data)
