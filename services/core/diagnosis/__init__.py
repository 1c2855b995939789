"""What is wrong with a program that is over, by its log, its exit code and the platform's word for its end. Pure.

`rules` is the one table of what points to which class; `decision` chooses among what a log shows of it.
"""
