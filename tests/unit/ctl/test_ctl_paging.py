"""Lists of several pages, read whole."""

from __future__ import annotations

import copy

from primacy.consensus.v1 import registry_pb2 as pb

from services.ctl.paging import PAGE_SIZE, all_pages

PAGES = {
    "": pb.ListTagsResponse(tags=[pb.Tag(name="a"), pb.Tag(name="b")], next_page_token="b", index=1),
    "b": pb.ListTagsResponse(tags=[pb.Tag(name="c")], next_page_token="c", index=2),
    "c": pb.ListTagsResponse(tags=[pb.Tag(name="d")], index=3),
}


async def test_all_pages_are_one_in_their_order() -> None:
    request = pb.ListTagsRequest(name="x", page_token="b")
    asked: list[pb.ListTagsRequest] = []

    async def ask(page: pb.ListTagsRequest) -> pb.ListTagsResponse:
        asked.append(copy.deepcopy(page))
        return copy.deepcopy(PAGES[page.page_token])

    whole = await all_pages(ask, request)

    assert [tag.name for tag in whole.tags] == ["a", "b", "c", "d"]
    assert whole.next_page_token == ""
    assert asked == [pb.ListTagsRequest(name="x", page_size=PAGE_SIZE, page_token=token) for token in PAGES]
    assert request == pb.ListTagsRequest(name="x", page_token="b")
