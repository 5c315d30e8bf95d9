"""What answers look like: messages in, styled lines out; pure."""
