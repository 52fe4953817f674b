"""What a deploy of an application would meet: the flows of the fleet, and what is stored."""
