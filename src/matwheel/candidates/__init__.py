"""Candidates: funnel, rates, ranked table, a candidate's history."""
