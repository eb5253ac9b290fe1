CREATE EXTERNAL TABLE meterlake.invoice_lines
LOCATION 's3://LAKE/tables/invoice_lines/'
TBLPROPERTIES ('table_type' = 'DELTA');
