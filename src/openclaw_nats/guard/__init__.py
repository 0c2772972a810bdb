"""What a turn that something from outside has led to may do: the rules of a route's `tools`."""
