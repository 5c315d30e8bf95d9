"""The demo: real MySQL servers, a real suite, a killed primary, and what came of it."""
