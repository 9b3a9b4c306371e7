"""What a process tells its operators: logs, metrics, its end. Never a patient."""
