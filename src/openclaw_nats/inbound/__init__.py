"""Events in: the consumer's messages → routes → inbox → flow control → delivery → receipt, retry or dead letter."""
