"""Simulated liquid-argon events: particles, their tracks and showers, the image, and files of many events."""
