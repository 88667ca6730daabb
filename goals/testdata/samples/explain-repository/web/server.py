"""Answers requests with the cart's total."""
