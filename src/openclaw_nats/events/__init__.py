"""Events, subjects and ids as pure values: no input or output, no clock but the one passed in."""
