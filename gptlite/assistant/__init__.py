"""The model as an assistant: answers, tools, a chat, and how good it is."""
