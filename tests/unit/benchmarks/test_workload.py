"""The leads that benchmarks insert."""

from benchmarks.workload import MATCHING, Workload, lead_documents


def test_the_last_lead_matches_so_that_its_execution_ends_after_every_event() -> None:
    assert lead_documents(100, 10)[-1]["source"] == MATCHING


def test_as_many_leads_match_as_the_workload_says() -> None:
    matching = [lead for lead in lead_documents(100, 10) if lead["source"] == MATCHING]
    assert len(matching) == Workload(one_in=10).matching(100) == 10
