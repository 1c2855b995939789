"""The scripted model: playbooks of ours behind the OpenAI chat-completions API.

It is a program and no language model, and says so in every answer. The demo, the tests and the
benchmarks talk to it through the same door as to a real provider, so that everything but the
thinking is real. `README.md` beside this file describes the playbook format.
"""
