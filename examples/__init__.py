"""Small applications that show what FlowState does. Run from a checkout; not part of the package."""
