"""The user's own functions: loaded, called on the event loop, in threads or processes, judged."""
