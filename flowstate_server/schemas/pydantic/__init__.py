"""Schemas made of pydantic models. The only place that reads pydantic's core schemas."""
