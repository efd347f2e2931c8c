"""The upload's state machine against a registry that is a few lines of Python and fails at random."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmimg_images.errors import RegistryError
from wasmimg_images.registry.upload import Begin, Check, Done, Finish, Query, Send, Step, Upload

LOCATION = "https://r.example/v2/a/blobs/uploads/1"


class Model:
    """One repository's upload: what is stored, and whether the session and the blob are there."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.session = False
        self.held = 0
        self.blob = False
        self.received = 0

    def answer(self, step: Step, accepted: int | None) -> tuple[int, dict[str, str]]:
        """Answer a step; of a Send only `accepted` bytes arrive, if that is given."""
        match step:
            case Begin():
                self.session, self.held = True, 0
                return 202, {"location": LOCATION}
            case Check():
                return (200 if self.blob else 404), {}
            case Query() | Send() | Finish() if not self.session:
                return 404, {}
            case Query():
                return 204, self._range()
            case Send(offset=offset, length=length, last=last):
                if offset != self.held:
                    return 416, self._range()
                arrived = length if accepted is None else min(accepted, length)
                self.held += arrived
                self.received += arrived
                if last and self.held == self.size:
                    return self._finish()
                return 202, self._range()
            case Finish():
                return self._finish() if self.held == self.size else (416, {})
            case Done():
                raise AssertionError

    def _finish(self) -> tuple[int, dict[str, str]]:
        self.session, self.blob = False, True
        return 201, {}

    def _range(self) -> dict[str, str]:
        return {"location": LOCATION, "range": f"0-{max(self.held - 1, 0)}"}


EVENT = st.one_of(
    st.just("fine"),
    st.tuples(st.just("breaks"), st.integers(0, 40)),
    st.just("answer lost"),
    st.just("session lost"),
)


@given(st.integers(0, 100), st.integers(1, 40), st.lists(EVENT, max_size=30))
def test_whatever_breaks_the_blob_arrives_whole(
    size: int, chunk: int, events: list[str | tuple[str, int]]
) -> None:
    upload, model = Upload(size, chunk=chunk), Model(size)
    for event in [*events, *["fine"] * 400]:
        if isinstance(upload.step, Done):
            break
        step = upload.step
        if isinstance(step, Send):
            assert 0 <= step.offset <= step.offset + step.length <= size
            assert step.length <= chunk
        match event:
            case ("breaks", int(count)) if isinstance(step, Send):
                model.answer(step, min(count, max(step.length - 1, 0)))
                upload.interrupted()
            case "answer lost":
                model.answer(step, None)
                upload.interrupted()
            case "session lost":
                model.session = False
                upload.interrupted()
            case _:
                status, headers = model.answer(step, None)
                assert upload.expects(status)
                upload.answered(status, headers)
    assert upload.step == Done(mounted=False)
    assert model.blob


@given(st.integers(0, 1000), st.integers(1, 200))
def test_without_trouble_each_byte_goes_once(size: int, chunk: int) -> None:
    upload, model, requests = Upload(size, chunk=chunk), Model(size), 0
    while not isinstance(upload.step, Done):
        requests += 1
        upload.answered(*model.answer(upload.step, None))
    assert model.received == size
    whole = size <= chunk
    assert requests == (2 if whole else 2 + -(-size // chunk))


def now(upload: Upload) -> Step:
    """What is to be done next; a call, since checkers think that an attribute stays as it was."""
    return upload.step


def test_a_mount_is_done_at_once_and_a_refused_one_goes_on() -> None:
    upload = Upload(5, chunk=10, mount_from="other")
    assert now(upload) == Begin("other")
    upload.answered(201, {})
    assert now(upload) == Done(mounted=True)
    upload = Upload(5, chunk=10, mount_from="other")
    upload.answered(202, {"location": LOCATION})
    assert now(upload) == Send(LOCATION, 0, 5, last=True)


def test_an_upload_of_an_earlier_run_is_asked_for_its_offset() -> None:
    upload = Upload(100, chunk=30, location=LOCATION)
    assert now(upload) == Query(LOCATION)
    upload.answered(204, {"range": "0-59"})
    assert now(upload) == Send(LOCATION, 60, 30, last=False)
    assert upload.location == LOCATION


def test_one_byte_and_none_look_alike_until_a_416() -> None:
    upload = Upload(100, chunk=30, location=LOCATION)
    upload.answered(204, {"range": "0-0"})
    assert now(upload) == Send(LOCATION, 0, 30, last=False)
    upload.answered(416, {})
    upload.answered(204, {"range": "0-0"})
    assert now(upload) == Send(LOCATION, 1, 30, last=False)


def test_the_registry_s_shortest_chunk_is_kept() -> None:
    upload = Upload(1000, chunk=10)
    upload.answered(202, {"location": LOCATION, "oci-chunk-min-length": "300"})
    assert now(upload) == Send(LOCATION, 0, 300, last=False)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"location": LOCATION, "range": "0-200"}, "holds 201 bytes of a blob of 100"),
        ({"location": LOCATION, "range": "5-9"}, "malformed Range"),
        ({"location": LOCATION, "range": "x"}, "malformed Range"),
    ],
)
def test_answers_that_break_the_protocol(headers: dict[str, str], words: str) -> None:
    upload = Upload(100, chunk=30, location=LOCATION)
    with pytest.raises(RegistryError, match=words):
        upload.answered(204, headers)


def test_a_session_needs_a_location() -> None:
    with pytest.raises(RegistryError, match="no Location"):
        Upload(1, chunk=1).answered(202, {})


def test_after_a_break_bytes_go_in_chunks_whose_place_the_registry_checks() -> None:
    upload = Upload(20, chunk=30)
    upload.answered(202, {"location": LOCATION})
    assert now(upload) == Send(LOCATION, 0, 20, last=True)
    upload.interrupted()
    upload.answered(204, {"range": "0-0"})
    assert now(upload) == Send(LOCATION, 0, 20, last=False)
    upload.answered(416, {})  # what was on its way has arrived
    upload.answered(204, {"range": "0-11"})
    assert now(upload) == Send(LOCATION, 12, 8, last=False)
    upload.answered(202, {"range": "0-19"})
    assert now(upload) == Finish(LOCATION)


@pytest.mark.parametrize("status", [400, 404, 405, 410])
def test_an_upload_that_can_t_be_asked_about_begins_again(status: int) -> None:
    upload = Upload(100, chunk=30, location=LOCATION)
    assert upload.expects(status)
    upload.answered(status, {})
    assert now(upload) == Check()
    upload.answered(404, {})
    assert now(upload) == Begin(None)
