@echo off
rem Installs the notebooks on Windows from this folder alone. No internet is used.
rem   install.bat            into the folder zcdl_workshop of your user
rem   install.bat FOLDER     elsewhere
setlocal

rem Take a Python for which this bundle has packages.
for %%V in (3.13 3.12 3.11) do (
  if exist "%~dp0wheels\windows\requirements-%%V.txt" (
    py -%%V -c "import venv, ensurepip" >nul 2>nul && (
      rem install.py checks the bundle, then calls: pip install --no-index --find-links wheels\windows
      py -%%V "%~dp0install.py" %*
      goto end
    )
  )
)
python "%~dp0install.py" %*
if errorlevel 1 echo If Python is not installed, or another version: START_HERE.txt says where it comes from.
:end
pause
