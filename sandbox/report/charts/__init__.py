"""The interactive charts of a page: functions from tables to Altair charts."""
