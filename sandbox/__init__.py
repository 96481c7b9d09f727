"""Recall against cost: small sequence models on synthetic recall tasks."""
